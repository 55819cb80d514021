"""Requests of users: inputs, space and data of every task.

Imports all rooms but experiments.
"""
