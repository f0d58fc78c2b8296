# Builds the Rust library textkit by cargo and wraps it as the imported target textkit.
find_program(CARGO_PROGRAM cargo REQUIRED)
set(TEXTKIT_DIR ${PROJECT_SOURCE_DIR}/textkit)
# One target folder for all other presets: the crate does not depend on ours.
set(TEXTKIT_TARGET_DIR ${PROJECT_SOURCE_DIR}/build/textkit)
# RUSTC_BOOTSTRAP: textkit/src/budget.rs tells why.
set(textkit_environment RUSTC_BOOTSTRAP=textkit)
set(textkit_flags)
set(TEXTKIT_LIB ${TEXTKIT_TARGET_DIR}/release/libtextkit.a)
if(PIPPIN_FUZZ)
  include(TextkitInstrumented)
endif()
file(GLOB_RECURSE TEXTKIT_SOURCES CONFIGURE_DEPENDS
  ${TEXTKIT_DIR}/src/*.rs ${TEXTKIT_DIR}/Cargo.toml ${TEXTKIT_DIR}/Cargo.lock)
add_custom_command(OUTPUT ${TEXTKIT_LIB}
  COMMAND ${CMAKE_COMMAND} -E env CARGO_TARGET_DIR=${TEXTKIT_TARGET_DIR} ${textkit_environment}
          ${CARGO_PROGRAM} build --release --locked ${textkit_flags} --manifest-path ${TEXTKIT_DIR}/Cargo.toml
  DEPENDS ${TEXTKIT_SOURCES} COMMENT "Building textkit (Rust)" VERBATIM USES_TERMINAL)
add_custom_target(textkit_build DEPENDS ${TEXTKIT_LIB})
add_library(textkit INTERFACE)
add_dependencies(textkit textkit_build)
target_include_directories(textkit INTERFACE ${TEXTKIT_DIR}/include)
target_link_libraries(textkit INTERFACE ${TEXTKIT_LIB} ${CMAKE_DL_LIBS} pthread m)
