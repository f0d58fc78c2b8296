# The MLX SDK is one unzipped backend wheel. scripts/setup puts it under .deps; -DPIPPIN_MLX_ROOT names another place.
set(PIPPIN_MLX_ROOT "${PROJECT_SOURCE_DIR}/.deps/mlx-cpu-0.32.4/mlx" CACHE PATH "The wheel's mlx folder")
if(NOT EXISTS ${PIPPIN_MLX_ROOT}/share/cmake/MLX/MLXConfig.cmake)
  message(FATAL_ERROR "No MLX SDK at ${PIPPIN_MLX_ROOT}. Run scripts/setup, or name one with -DPIPPIN_MLX_ROOT=.../mlx")
endif()
find_package(MLX CONFIG REQUIRED PATHS ${PIPPIN_MLX_ROOT} NO_DEFAULT_PATH)
add_library(pippin_mlx INTERFACE)
target_link_libraries(pippin_mlx INTERFACE mlx)
target_link_options(pippin_mlx INTERFACE -Wl,-rpath,${PIPPIN_MLX_ROOT}/lib -Wl,-rpath-link,${PIPPIN_MLX_ROOT}/../mlx_cpu.libs)
