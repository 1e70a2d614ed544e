# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - Sphinx has its own layout
"""How Sphinx builds the release notes."""

project = "nova_db_states Release Notes"
copyright = "The nova_db_states maintainers"  # noqa: A001 - Sphinx's name
# Release notes do not need a version: they are about all of them.
release = ""
version = ""

extensions = [
    "openstackdocstheme",
    "reno.sphinxext",
]

# The theme's own license notice names another license.
templates_path = ["../../doc/source/_templates"]

html_theme = "openstackdocs"
openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_pdf_link = False
html_theme_options = {
    "analytics_tracking_code": "",  # the theme's default reports to OpenStack
    "display_badge": False,
    "show_other_versions": False,
}
