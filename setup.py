# SPDX-License-Identifier: Apache-2.0
"""Hands the build over to pbr, which reads setup.cfg."""

import configparser
import os
import pathlib
import shutil

import setuptools

_ROOT = pathlib.Path(__file__).resolve().parent

# pbr counts commits for the version. A copy of the sources that is neither a
# git checkout nor a source distribution has none to count.
_COUNTABLE = (_ROOT / ".git").exists() and shutil.which("git")
if not _COUNTABLE and not (_ROOT / "PKG-INFO").exists():
    _config = configparser.ConfigParser()
    _config.read(_ROOT / "setup.cfg")
    os.environ.setdefault("PBR_VERSION", _config["metadata"]["version"])

setuptools.setup(setup_requires=["pbr>=6.1"], pbr=True)
