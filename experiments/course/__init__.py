"""The course: lessons in Markdown, and `pages`, which runs what stands in them."""
