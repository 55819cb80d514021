"""From a zoo to tables and a figure: measurements that papers report. Imports every room."""
