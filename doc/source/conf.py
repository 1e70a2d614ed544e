# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the documentation."""

from importlib import metadata

project = "nova_db_states"
copyright = "The nova_db_states maintainers"  # noqa: A001 - Sphinx's name
release = metadata.version(project)
version = release

extensions = [
    "cliff.sphinxext",
    "openstackdocstheme",
    "oslo_config.sphinxext",
    "sphinx.ext.autodoc",
    "sphinx.ext.graphviz",
]
# Sharp at every size, and its text can be searched.
graphviz_output_format = "svg"

# A part of admin/indexes.rst, written by a benchmark.
exclude_patterns = ["admin/index-evidence.rst"]
# The theme's own license notice names another license.
templates_path = ["_templates"]
nitpicky = True
# Options are written with two hyphens, also where help texts are included.
smartquotes = False
nitpick_ignore_regex = [
    # Other projects' names; nothing is fetched while building.
    ("py:.*", r"(sa|sqlalchemy|enginefacade|oslo_config|oslo_db)\..*"),
    ("py:.*", r"(datetime|uuid|enum|pathlib|collections\.abc)\..*"),
    # The standard library's.
    ("py:class", r"Any|ValueError|types\..*"),
    # Type variables, of functions that give back what they were given.
    ("py:class", r"(nova_db_states\._actions\.\w+\.)?_[A-Z]\w*"),
    ("py:exc", r"oslo_db\.exception\..*|ValueError|TypeError"),
]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autoprogram_cliff_application = "nova-db-states"

html_theme = "openstackdocs"
openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_pdf_link = False
html_theme_options = {
    "analytics_tracking_code": "",  # the theme's default reports to OpenStack
    "display_badge": False,
    "show_other_versions": False,
}
