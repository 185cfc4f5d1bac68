"""What browsers and other clients reach: the route table, a module for each resource, and the page."""
