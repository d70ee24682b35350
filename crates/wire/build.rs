//! Compiles `proto/` without protoc: descriptors by protox, code by tonic-prost-build, descriptor bytes for reflection.

use std::error::Error;
use std::path::{Path, PathBuf};

const FILES: [&str; 7] = ["types", "participant", "shard", "coordinator", "relay", "node", "operator"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files: Vec<PathBuf> = FILES.iter().map(|name| root.join(format!("dovetail/v1/{name}.proto"))).collect();

    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("dovetail.v1.bin");
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;

    let mut config = tonic_prost_build::Config::new();
    // Shared with the received message: a large payload is not copied on its way in, nor for a retry.
    config.enable_type_names().bytes(["."]);
    tonic_prost_build::configure()
        // Every message passes the field bounds before it is decoded, on both sides.
        .codec_path("crate::codec::BoundedCodec")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}
