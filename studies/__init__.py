"""What the package's claims rest on; run from the repository: ``python -m studies``.

Networks trained, transfers measured, scores held against both. Not part of an installation.
"""
