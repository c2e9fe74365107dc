"""The generated pages of the knowledge base: Markdown and data from the issue files, without MkDocs."""
