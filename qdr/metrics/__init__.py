"""Image quality as pure functions: a restored and a target image in, a number out."""
