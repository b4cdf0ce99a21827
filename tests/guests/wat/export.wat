(core instance $i (instantiate $m))
(type $handle (func (param "event" $event) (param "delivery" $delivery) (result (result (error $failure)))))
(func (export "handle") (type $handle)
    (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
