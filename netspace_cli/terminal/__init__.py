"""Output for people and programs: tables, bars, documents, errors.

Imports core.runtime only.
"""
