"""Supernets and derived models on the Hugging Face Hub.

`client` speaks to the Hub through the `huggingface_hub` package, and `failures` and `redaction` see to what
its errors and logs say; `layout` knows which files a repository may hold; `push` and `pull` carry one
repository, `sync` the sketches of all of them into `cache`, a catalogue of what is not on this machine.
Nothing here is imported, and no request is made, before one of them is used.
"""
