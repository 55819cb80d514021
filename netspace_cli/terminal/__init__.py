"""What a person or a program sees: tables, bars, documents, errors. Imports core.runtime alone."""
