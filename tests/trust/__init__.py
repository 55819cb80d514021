"""What strangers' files, kills and full disks do: fuzzers, harnesses and their tests."""
