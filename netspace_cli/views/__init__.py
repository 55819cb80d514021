"""Views of each kind of network: columns, tables, drawings.

Imports terminal and core.
"""
