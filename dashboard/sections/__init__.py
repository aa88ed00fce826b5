"""Parts of pages as HTML. Pure: values in, markup out."""
