"""One script per engine, each run by its own interpreter as a process of its own.

An interpreter of a peer has NumPy and that peer and need not have ``lstm_infer``: these scripts are started by their
path, share ``protocol.py`` beside them, and import nothing else of this package.
"""
