# Toolchain: Linux on aarch64 by Debian's cross compiler; programs run under qemu's user mode.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
find_program(PIPPIN_QEMU_AARCH64 NAMES qemu-aarch64-static qemu-aarch64)
if(PIPPIN_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${PIPPIN_QEMU_AARCH64} -L /usr/aarch64-linux-gnu)
endif()
