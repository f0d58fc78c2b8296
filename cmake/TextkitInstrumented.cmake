# For the fuzz targets: textkit and the crates that it uses tell libFuzzer their branches and comparisons, and run under
# ASan. rustc's passes call clang's runtimes, though its LLVM may be newer. std is not instrumented.
find_program(RUSTC_PROGRAM rustc REQUIRED)
execute_process(COMMAND ${RUSTC_PROGRAM} --version --verbose OUTPUT_VARIABLE rustc_version COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCH "host: ([^\n]+)" ignored "${rustc_version}")
set(rust_target ${CMAKE_MATCH_1})
string(JOIN " " rust_flags
  -Zsanitizer=address
  # As clang's -fsanitize=fuzzer-no-link has it.
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=3
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  # One table of counters and one of places for each crate: the linker could keep them of different units.
  -Ccodegen-units=1
  # Findings show their lines.
  -Cdebuginfo=1 -Cforce-frame-pointers=yes)
set(TEXTKIT_TARGET_DIR ${PROJECT_BINARY_DIR}/textkit)
set(TEXTKIT_LIB ${TEXTKIT_TARGET_DIR}/${rust_target}/release/libtextkit.a)
# Sanitizers are not yet stable in rustc.
set(textkit_environment RUSTC_BOOTSTRAP=1 "RUSTFLAGS=${rust_flags}")
# A target that is named keeps the flags from build scripts, which link no such runtime.
set(textkit_flags --target ${rust_target})
