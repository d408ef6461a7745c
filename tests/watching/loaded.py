"""Which modules some code loads, in a process of its own."""

import subprocess
import sys

# libraries that take long to load
HEAVY = (
    "xarray", "numba", "llvmlite", "rasterio", "boto3", "scipy", "odc", "tifffile", "h5py", "requests",
    "pystac_client", "exactextract", "dask", "sklearn", "tensorflow", "keras", "lightgbm", "mlflow", "shap",
    "optuna", "matplotlib", "sqlalchemy", "jinja2",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Return the top names of all libraries that some code loads, and the full names of their modules."""
    last = "; print(*sorted({n.split('.')[0] for n in sys.modules} | {n for n in sys.modules if '.' in n}))"
    done = subprocess.run([sys.executable, "-c", code + last], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def loaded_by_command(*words: str) -> set[str]:
    """Return what a command of cropcheck loads, however it ends."""
    code = f"import sys; sys.argv = {['cropcheck', *words]}\nfrom pipelines import cli\n"
    return loaded_by(code + "try: cli.main()\nexcept SystemExit: pass\n0")
