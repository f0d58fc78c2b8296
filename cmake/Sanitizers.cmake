if(PIPPIN_SANITIZE)
  add_compile_options(-fsanitize=${PIPPIN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PIPPIN_SANITIZE})
endif()
if(PIPPIN_FUZZ)
  # All of our code is instrumented, and so each target sees the branches of what it links.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
