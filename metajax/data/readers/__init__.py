"""One reader a format: files in their publisher's layout become `Interactions`."""
