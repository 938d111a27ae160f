"""Published networks whose weights lie in a folder that the user names.

The architectures are written here, in plain torch, from the papers and from the names and shapes
of the tensors. Files are read as plain tensors.
"""
