"""What a killed command left behind, put right by the next one: processes, Pulumi's lock, things on the engine."""
