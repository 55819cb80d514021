"""The mathematics of netspace: tensors in, tensors out; no files, no devices, no global randomness."""
