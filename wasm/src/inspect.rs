//! What a module is, needs and offers, without compiling or running it.

use crate::module::NOT_WASM;
use std::collections::BTreeSet;
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Parser, Payload, TypeRef, Validator, WasmFeatures,
};

/// What kind of module it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain module.
    Module,
    /// A component.
    Component,
}

/// What a module is, needs and offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What it is.
    pub kind: Kind,
    /// What it wants of its host: `module::name`, or the name of an interface.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// The memory that it begins with, in bytes.
    pub memory: u64,
    /// Does it have what a command has?
    pub is_command: bool,
    /// Imports that nothing here provides; with any of them it cannot be run.
    pub unknown: Vec<String>,
    /// Keys of `[tasks.NAME.wasm]` and of its task that it probably needs, each with the reason.
    pub needs: Vec<(&'static str, &'static str)>,
}

/// Looks at a module.
///
/// # Errors
/// Why it is not valid, with the place.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, String> {
    let kind = match crate::module::is_component(bytes) {
        Some(false) => Kind::Module,
        Some(true) => Kind::Component,
        None => return Err(NOT_WASM.to_string()),
    };
    Validator::new_with_features(WasmFeatures::default())
        .validate_all(bytes)
        .map_err(|err| format!("it is not valid: {err}"))?;
    let mut found = Inspected {
        kind,
        imports: Vec::new(),
        exports: Vec::new(),
        memory: 0,
        is_command: false,
        unknown: Vec::new(),
        needs: Vec::new(),
    };
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|err| err.to_string())?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::MemorySection(memories) => {
                for memory in memories.clone().into_iter().flatten() {
                    found.memory = found.memory.saturating_add(memory.initial << 16);
                }
            }
            _ => {}
        }
        // What parts inside a component say to each other is their own matter.
        if depth == 0 {
            look(&payload, &mut found);
        }
    }
    found.is_command = found.exports.iter().any(|name| match kind {
        Kind::Module => name == "_start",
        Kind::Component => name.starts_with("wasi:cli/run@"),
    });
    found.unknown = found
        .imports
        .iter()
        .filter(|name| !is_known(name))
        .cloned()
        .collect();
    found.needs = needs(&found.imports);
    Ok(found)
}

fn look(payload: &Payload<'_>, found: &mut Inspected) {
    match payload {
        Payload::ImportSection(section) => {
            for import in section.clone().into_imports().flatten() {
                found
                    .imports
                    .push(format!("{}::{}", import.module, import.name));
                if let TypeRef::Memory(memory) = import.ty {
                    found.memory = found.memory.saturating_add(memory.initial << 16);
                }
            }
        }
        Payload::ExportSection(section) => {
            let names = section.clone().into_iter().flatten();
            found
                .exports
                .extend(names.map(|export| export.name.to_string()));
        }
        Payload::ComponentImportSection(section) => {
            for import in section.clone().into_iter().flatten() {
                let is_interface = matches!(import.ty, ComponentTypeRef::Instance(_));
                let name = import.name.name.to_string();
                // Types are names only.
                if is_interface || !matches!(import.ty, ComponentTypeRef::Type(_)) {
                    found.imports.push(name);
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section.clone().into_iter().flatten() {
                if export.kind != ComponentExternalKind::Type {
                    found.exports.push(export.name.name.to_string());
                }
            }
        }
        _ => {}
    }
}

/// Is it something that the host provides?
fn is_known(import: &str) -> bool {
    const PACKAGES: [&str; 7] = [
        "wasi:cli/",
        "wasi:clocks/",
        "wasi:filesystem/",
        "wasi:io/",
        "wasi:random/",
        "wasi:sockets/",
        "wasi:http/",
    ];
    import.starts_with("wasi_snapshot_preview1::")
        || (import.contains("@0.2.") && PACKAGES.iter().any(|name| import.starts_with(name)))
}

/// What imports mean for whoever writes the file.
fn needs(imports: &[String]) -> Vec<(&'static str, &'static str)> {
    const SIGNS: [(&str, &str, &str); 9] = [
        ("args", "args_get", "it looks at its arguments"),
        ("env", "environ_get", "it looks at its environment"),
        (
            "env",
            "wasi:cli/environment",
            "it looks at its arguments and environment",
        ),
        ("dirs", "path_", "it opens files"),
        ("dirs", "wasi:filesystem/", "it opens files"),
        ("stdin", "fd_read", "it reads: standard input or files"),
        ("stdin", "wasi:cli/stdin", "it reads standard input"),
        (
            "allow_hosts",
            "wasi:http/outgoing-handler",
            "it sends HTTP requests",
        ),
        (
            "(not granted)",
            "sock",
            "it opens sockets, which no module may",
        ),
    ];
    let mut found = BTreeSet::new();
    for (key, sign, why) in SIGNS {
        if imports.iter().any(|name| name.contains(sign)) {
            found.insert((key, why));
        }
    }
    found.into_iter().collect()
}
