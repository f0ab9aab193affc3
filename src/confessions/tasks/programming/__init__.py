"""Programs for problems with public samples and hidden tests. Its hack: hard-coded samples."""
