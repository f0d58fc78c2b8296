# Toolchain: this machine's clang, which libFuzzer needs; the newest first.
find_program(PIPPIN_CLANG NAMES clang-19 clang-18 clang-16 clang REQUIRED)
find_program(PIPPIN_CLANGXX NAMES clang++-19 clang++-18 clang++-16 clang++ REQUIRED)
set(CMAKE_C_COMPILER ${PIPPIN_CLANG})
set(CMAKE_CXX_COMPILER ${PIPPIN_CLANGXX})
