# Rows that are scripts: what can be held against the sources and the installed package.
add_test(NAME includes COMMAND ${CMAKE_SOURCE_DIR}/tools/check_includes ${CMAKE_SOURCE_DIR})
add_test(NAME rules COMMAND ${CMAKE_SOURCE_DIR}/tools/check_rules ${CMAKE_SOURCE_DIR})
add_test(NAME perf-tables COMMAND ${CMAKE_SOURCE_DIR}/tools/perf_tables --check)
add_test(NAME headers COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/headers.sh ${CMAKE_C_COMPILER})
add_test(NAME get-models COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/test_get_models.sh ${CMAKE_SOURCE_DIR})
set_tests_properties(get-models PROPERTIES SKIP_RETURN_CODE 77)

# The installed package, static and shared, and the example built on it.
if(NOT HORNITO_SANITIZE AND EXISTS ${HORNITO_LAVAPIPE_ICD})
  add_test(NAME install COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install.sh ${CMAKE_SOURCE_DIR}
    ${CMAKE_BINARY_DIR} ${CMAKE_C_COMPILER} ${HORNITO_LAVAPIPE_ICD})
  set_tests_properties(install PROPERTIES TIMEOUT 900)
endif()

# AMD's compiler without hardware: figures of every shader go to radv.json and radv.txt.
set(HORNITO_RADV_ICD /usr/share/vulkan/icd.d/radeon_icd.x86_64.json CACHE FILEPATH "RADV's ICD file")
if(EXISTS ${HORNITO_RADV_ICD} AND NOT HORNITO_SANITIZE)
  add_executable(radv_shaders radv_shaders.c)
  target_link_libraries(radv_shaders PRIVATE test_support)
  add_test(NAME radv COMMAND radv_shaders ${CMAKE_BINARY_DIR}/radv ${radv_families})
  set_tests_properties(radv PROPERTIES TIMEOUT 1200
    ENVIRONMENT "VK_ICD_FILENAMES=${HORNITO_RADV_ICD};XDG_RUNTIME_DIR=${CMAKE_BINARY_DIR}")
  # The same by Mesa 25.0, which knows a GPU with cooperative matrices; fetched, never installed.
  add_test(NAME radv25 COMMAND ${CMAKE_SOURCE_DIR}/tools/radv25 $<TARGET_FILE:radv_shaders>
    ${CMAKE_BINARY_DIR}/radv25 gfx1150)
  set_tests_properties(radv25 PROPERTIES TIMEOUT 1200 SKIP_RETURN_CODE 77
    ENVIRONMENT "XDG_RUNTIME_DIR=${CMAKE_BINARY_DIR}")
endif()

# Of real models, which tools/get-models fetches: where one is not there its test is skipped by name
# (tests/support/models.h).
get_property(rows DIRECTORY PROPERTY TESTS)
foreach(row ${rows})
  if(row MATCHES "^test_(lm_real|whisper_base|smollm2_grad|whisper_grad|io_bpe_gguf|chat|models)")
    set_tests_properties(${row} PROPERTIES LABELS models SKIP_REGULAR_EXPRESSION "is not there: skipped" TIMEOUT 900)
  endif()
endforeach()
