# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration."""

import logging

project = "tacker_cir"
copyright = "tacker_cir developers"

extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "reno.sphinxext",
]

html_theme = "openstackdocs"
openstackdocs_auto_name = False
openstackdocs_auto_version = False
pygments_style = "native"
exclude_patterns = []

# The theme warns where there is no git to ask for the commit; the guide does not show it.
logging.getLogger("sphinx.openstackdocstheme.ext").addFilter(
    lambda record: "cannot get gitsha" not in record.getMessage()
)
