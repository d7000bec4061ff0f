# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration."""

import importlib.metadata
import logging

from docutils import nodes

project = "tacker_cir"
copyright = "tacker_cir developers"
# On every page: in the head of the navigation, and in the window's title.
version = release = importlib.metadata.version(project)

extensions = [
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "reno.sphinxext",
    "sphinxcontrib.svgbob",
]

html_theme = "openstackdocs"
html_title = f"{project} {release}"
openstackdocs_auto_name = False
openstackdocs_auto_version = False
pygments_style = "native"
# What is not said to be of a language is none: an error's text is not Python.
highlight_language = "text"
exclude_patterns = []

# The theme warns where there is no git to ask for the commit; the guide does not show it.
logging.getLogger("sphinx.openstackdocstheme.ext").addFilter(
    lambda record: "cannot get gitsha" not in record.getMessage()
)

#: What reno calls notes of a repository that has no tag yet.
_UNTAGGED = "0.0.0"


def _name_release(_app, doctree):
    """Let the notes that are in no tagged release stand under the version that they will be in."""
    for section in doctree.findall(nodes.section):
        title = section[0] if section.children else None
        if isinstance(title, nodes.title) and title.astext() == _UNTAGGED:
            title[:] = [nodes.Text(release)]


def setup(app):
    # Before the titles are collected for the navigation.
    app.connect("doctree-read", _name_release, priority=100)
