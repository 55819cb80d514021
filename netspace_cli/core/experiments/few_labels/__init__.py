"""Few labelled images: compare the space, fine-tuning, and training from scratch."""
