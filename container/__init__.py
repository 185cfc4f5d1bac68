"""The lean leaf of VaporForge: the agent server, the agents, and the wire protocol that everything else shares."""
