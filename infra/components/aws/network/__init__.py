"""Where the parts are, who reaches whom, and how the world reaches them."""
