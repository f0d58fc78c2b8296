# Builds the CPU kernels and their tests and nothing else, with no library but GoogleTest, which is built here from its
# sources: for a cross compiler that has no libraries of the other machine.
add_library(pippin_base STATIC src/base/block_codes.cpp src/base/check.cpp src/base/error.cpp src/base/grid_tables.cpp
  src/base/guarded.cpp src/base/thread.cpp src/base/thread_pool.cpp)
# fmt and spdlog, which the log is, have no library for the other machine: their headers hold all of them.
target_compile_definitions(pippin_base PRIVATE FMT_HEADER_ONLY SPDLOG_FMT_EXTERNAL)
target_include_directories(pippin_base PUBLIC ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(pippin_base PUBLIC Threads::Threads PRIVATE pippin_warnings)
add_subdirectory(src/nn/cpu)

set(PIPPIN_GTEST_SOURCES /usr/src/googletest/googletest CACHE PATH "GoogleTest's sources; Debian's googletest has them")
add_subdirectory(${PIPPIN_GTEST_SOURCES} ${PROJECT_BINARY_DIR}/googletest EXCLUDE_FROM_ALL SYSTEM)
target_compile_options(gtest PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # reported falsely by g++ 12
enable_testing()
add_subdirectory(tests/nn/cpu)
