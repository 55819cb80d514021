"""Few labelled images: the space beside fine-tuning and training from scratch."""
