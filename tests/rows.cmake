# Rows that are scripts: what can be held against the sources and the installed package.
add_test(NAME includes COMMAND ${CMAKE_SOURCE_DIR}/tools/check_includes ${CMAKE_SOURCE_DIR})
add_test(NAME rules COMMAND ${CMAKE_SOURCE_DIR}/tools/check_rules ${CMAKE_SOURCE_DIR})
add_test(NAME headers COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/headers.sh ${CMAKE_C_COMPILER})
