"""Readers of outside bytes that more than one room needs: JSON and safetensors, both bounded.

Bundles (`registry`) and the folders of derived models (`search`) go through the same two readers, so a
guard that is added here holds for both.
"""
