"""Files of any kind: safe reading, atomic writing.

Imports runtime.
"""
