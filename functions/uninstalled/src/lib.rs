//! uninstalled
