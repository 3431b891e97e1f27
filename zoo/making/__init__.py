"""How sources of the zoo are made from packages: a file for each kind, run by `python -m zoo.making.KIND`.

Each takes the folder of an unpacked package, whose own files state its licence, and writes
`NAME.npz` or class folders `NAME/`, and beside it `NAME.json`: what was found, kept and removed. Where the
package comes from and whom its licence asks to name stands in `zoo/sources.json`.
"""
