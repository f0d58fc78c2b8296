if(PIPPIN_SANITIZE)
  add_compile_options(-fsanitize=${PIPPIN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PIPPIN_SANITIZE})
endif()
