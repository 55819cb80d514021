"""The family `netspace zoo`: train, fit, adopt, show, verify, export."""
