"""Names that avmesos-cli 1.0.0 uses: `mesos` for its own package, which it does not import, and `imp`, which Python 3.12 took away and
which it needs for plug-ins alone."""

import builtins
import importlib
import importlib.util
import sys
import types


class Package:
    def __getattr__(self, name):
        return importlib.import_module(f"avmesos.{name}")


builtins.mesos = Package()
if importlib.util.find_spec("imp") is None:
    sys.modules["imp"] = types.ModuleType("imp")
