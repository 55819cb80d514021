"""How results of each kind of network are shown: columns, tables, drawings. Imports terminal and core."""
