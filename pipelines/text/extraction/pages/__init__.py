"""From the markup of a web page to its text: the tree, its blocks, what a model says of them, and how they are written."""
