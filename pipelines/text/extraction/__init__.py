"""Source formats to plain text: HTML, wikitext, TEI, Gutenberg, Aozora."""
