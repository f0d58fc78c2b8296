# pippin_library(NAME DEPS ...): one static library per folder under src/, of all .cpp files directly in it and in the
# FOLDERS below it.
# pippin_tests(NAME DEPS ...): one GoogleTest program of all *_test.cpp files there, likewise; OPTIMISED for one that
# computes much itself.
# pippin_host_tests: the test programs worth a sanitizer build; those that spend their time inside MLX are left out.
add_custom_target(pippin_host_tests)
# Python tests run in the environment that scripts/test makes, where there is one.
if(EXISTS ${PROJECT_SOURCE_DIR}/.deps/venv/bin/python)
  set(Python3_EXECUTABLE ${PROJECT_SOURCE_DIR}/.deps/venv/bin/python)
endif()
set(PIPPIN_DEVICE_TESTS "^pippin_test_(nn_ops|nn_kv|nn_blocks|models|models_.*)$")

# A sanitizer build may take the modules in which no threads meet (kernels, models, parsers) from another build folder,
# as they are: they are most of the compile time. A module that gives back what several threads share (the APIs) is not
# one of them: the last reference, dropped where ThreadSanitizer does not see it, looks like a race.
set(PIPPIN_PREBUILT "" CACHE PATH "Build folder whose libraries of those modules are linked as they are")
set(PIPPIN_PREBUILT_LIBRARIES "^pippin_(parse|text|store|families|nn|nn_.+|models)$")

# pippin_is_prebuilt(NAME RESULT DEPS...): makes NAME from the other folder's library and sets RESULT, if so asked for.
function(pippin_is_prebuilt name result)
  set(${result} FALSE PARENT_SCOPE)
  if(PIPPIN_PREBUILT AND name MATCHES "${PIPPIN_PREBUILT_LIBRARIES}")
    file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
    add_library(${name} STATIC IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES IMPORTED_LOCATION ${PIPPIN_PREBUILT}/${folder}/lib${name}.a
                          INTERFACE_INCLUDE_DIRECTORIES ${PROJECT_SOURCE_DIR}/src INTERFACE_LINK_LIBRARIES "${ARGN}")
    set(${result} TRUE PARENT_SCOPE)
  endif()
endfunction()

function(pippin_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;EXCLUDE;FOLDERS" ${ARGN})
  pippin_is_prebuilt(${name} prebuilt ${ARG_DEPS})
  if(prebuilt)
    return()
  endif()
  list(TRANSFORM ARG_FOLDERS APPEND /*.cpp)
  list(TRANSFORM ARG_FOLDERS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp ${ARG_FOLDERS})
  foreach(excluded ${ARG_EXCLUDE})
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${excluded})
  endforeach()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE pippin_warnings)
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

function(pippin_tests name)
  cmake_parse_arguments(ARG "OPTIMISED" "TIMEOUT" "DEPS;SUPPORT;FOLDERS" ${ARGN})
  list(TRANSFORM ARG_FOLDERS APPEND /*_test.cpp)
  list(TRANSFORM ARG_FOLDERS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp ${ARG_FOLDERS})
  if(NOT sources)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${sources} ${ARG_SUPPORT})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE PIPPIN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} pippin_warnings GTest::gtest GTest::gtest_main)
  # A test's own code is read by the compiler once and run for milliseconds: what it calls is optimised, it is not.
  if(NOT ARG_OPTIMISED)
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  if(NOT name MATCHES "${PIPPIN_DEVICE_TESTS}")
    add_dependencies(pippin_host_tests ${name})
    set_tests_properties(${name} PROPERTIES LABELS host)
  endif()
endfunction()
