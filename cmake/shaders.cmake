# Compiles each shader for each element type it takes and gathers the SPIR-V in one C file.
# Types: f32; f16 and bf16 with 16-bit storage; f16p and bf16p packed two to a 32-bit word.
# f32d: f32, moved by 64-bit integers where neighbours are; for devices whose loads cost the same whatever their width.
# f32s, f16s, bf16s: a workgroup's values are joined by subgroup arithmetic; for GPUs that have it.
# w_<type>: everything f32 but one operand, the weights, which have that type (shaders/weights.glsl).
# Those with "_coop" in their name need a glslang that knows cooperative matrices, and are left out where there is none.
# A shader whose first lines hold "types: f32" is compiled for those types only.
set(generated ${CMAKE_BINARY_DIR}/generated/shaders)
file(MAKE_DIRECTORY ${generated})
file(GLOB shader_includes CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/shaders/*.glsl ${CMAKE_SOURCE_DIR}/shaders/push.h)
set(headers)
set(list_text "// Made by cmake/shaders.cmake.\n")
set(table_text "")
foreach(shader ${HORNITO_SHADERS})
  get_filename_component(stem ${shader} NAME_WE)
  if(stem MATCHES "_coop(_|$)" AND NOT HORNITO_COOPMAT)
    continue()
  endif()
  file(STRINGS ${shader} types REGEX "^// types:" LIMIT_COUNT 1)
  if(types)
    string(REGEX REPLACE "^// types: *" "" types "${types}")
    string(REPLACE " " ";" types "${types}")
  else()
    set(types f32 f16 bf16 f16p bf16p)
  endif()
  foreach(type ${types})
    string(TOUPPER ${type} upper)
    set(more)
    if(type MATCHES "^w_")
      set(more -DT_F32=1 -DHN_WEIGHTS=1)
    endif()
    if(type STREQUAL "f32d")
      set(more -DT_F32=1 -DHN_PAIRS=1)
    endif()
    if(type MATCHES "^(f32|f16|bf16)s$")
      string(TOUPPER ${CMAKE_MATCH_1} plain)
      set(more -DT_${plain}=1 -DHN_SUBGROUPS=1)
    endif()
    set(header ${generated}/${stem}.${type}.h)
    add_custom_command(OUTPUT ${header}
      COMMAND ${GLSLANG_COMMAND} --quiet --target-env vulkan1.1 -V --vn hn_spv_${stem}_${type}
              -DT_${upper}=1 ${more} -I${CMAKE_SOURCE_DIR}/shaders -o ${header} ${shader}
      DEPENDS ${shader} ${shader_includes} VERBATIM)
    list(APPEND headers ${header})
    string(APPEND list_text "#include \"shaders/${stem}.${type}.h\"\n")
    string(APPEND table_text "    { \"${stem}.${type}\", hn_spv_${stem}_${type}, sizeof hn_spv_${stem}_${type} / 4 },\n")
  endforeach()
endforeach()
set(HORNITO_SHADER_SOURCE ${CMAKE_BINARY_DIR}/generated/shaders.c)
set(shader_text "#include <stddef.h>\n#include <stdint.h>\n${list_text}#include \"ops/shader.h\"\n\nconst hn__shader hn__shaders[] = {\n${table_text}    { NULL, NULL, 0 },\n};\n")
file(CONFIGURE OUTPUT ${HORNITO_SHADER_SOURCE} CONTENT "${shader_text}" @ONLY)
set_source_files_properties(${HORNITO_SHADER_SOURCE} PROPERTIES OBJECT_DEPENDS "${headers}")
