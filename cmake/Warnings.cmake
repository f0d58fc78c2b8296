# Warnings for our own targets only; third-party headers come in as SYSTEM includes.
add_library(pippin_warnings INTERFACE)
target_compile_options(pippin_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>
  $<$<BOOL:${PIPPIN_WERROR}>:-Werror>)
# Machines must agree on results: no fused multiply-add but where a kernel writes one.
target_compile_options(pippin_warnings INTERFACE -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely through std::variant, std::optional and -fsanitize.
  target_compile_options(pippin_warnings INTERFACE -Wno-maybe-uninitialized -Wno-null-dereference
    -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
