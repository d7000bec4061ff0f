# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration."""

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
